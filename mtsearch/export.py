"""``python -m mtsearch.export``: see `mtsearch.commands.export`."""

import sys

from mtsearch.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
