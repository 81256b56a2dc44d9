"""`python -m p2pmsg`, and the file that the wrapper in a checkout runs."""

import sys
from pathlib import Path

try:
    if not __package__:  # run as a file by `python -I`: the checkout is not on the path yet
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from p2pmsg.cli.main import main
except KeyboardInterrupt:
    sys.exit(130)

main()
