"""``python -m mtsearch.report``: see `mtsearch.commands.report`."""

import sys

from mtsearch.commands.report import main

if __name__ == "__main__":
    sys.exit(main())
