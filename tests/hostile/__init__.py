"""A hostile peer: a scripted client (`mallory`) that speaks the protocol to real daemons, and lies. Which test stands for which attack:

1  terminate on both sides     unit/test_handshake_attacks.py, hostile/test_both_sides.py (contacts, invites), unit/test_comparing.py,
                               hostile/test_middle.py (nearby), unit/test_quic.py (the exporter)
2  a contact as lurker         unit/test_presence.py (strangers are not dialled, refusals make an address rest), unit/test_peering.py,
                               hostile/test_lurker.py
3  impersonation by a thief    unit/test_handshake_attacks.py, hostile/test_thief.py
5  block and rotation          unit/test_blocking.py, lan/test_blocking_lan.py, hostile/test_strangers.py (one who was removed)
6  the channel                 unit/test_channel.py, unit/test_handshake_attacks.py, hostile/test_contact.py
9  traceability                lan/test_secrecy_lan.py, hostile/test_strangers.py (a crowd), hostile/test_floods.py
10 strings, comparing, invites unit/test_cli_hostile.py, unit/test_cli_text.py, unit/test_comparing.py, hostile/test_middle.py,
                               hostile/test_invites.py, hostile/test_contact.py

Every decoder: hostile/test_fuzz.py by the table of hostile/decoders.py. Floods: hostile/test_floods.py, lan/test_rubbish_lan.py. The local
API: hostile/test_local_api.py. Edge keys: unit/test_signing.py, unit/test_kem.py.
"""
