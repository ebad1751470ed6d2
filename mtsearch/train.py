"""``python -m mtsearch.train``: see `mtsearch.commands.train`."""

import sys

from mtsearch.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
