"""The encrypted database: one worker thread, migrations, the log and its views. Never meets the network."""
