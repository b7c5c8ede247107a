"""Look after a cache: python -m cache info|verify|compact|merge|pack|forget|gc DIR."""

import sys

from cache.commandline.parser import build_parser, main

__all__ = ["build_parser", "main"]

if __name__ == "__main__":
    sys.exit(main())
