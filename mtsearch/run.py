"""``python -m mtsearch.run``: see `mtsearch.commands.run`."""

import sys

from mtsearch.commands.run import main

if __name__ == "__main__":
    sys.exit(main())
