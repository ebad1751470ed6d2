"""``python -m mtsearch``: see `mtsearch.commands.main`."""

import sys

from mtsearch.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
