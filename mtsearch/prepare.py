"""``python -m mtsearch.prepare``: see `mtsearch.commands.prepare`."""

import sys

from mtsearch.commands.prepare import main

if __name__ == "__main__":
    sys.exit(main())
