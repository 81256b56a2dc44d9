"""The nouns: ids, accounts, events, addresses, as frozen values that every layer may import.

Knows nothing of how they travel, are stored or are shown.
"""
