"""Write the small backbone of the quick runs.

python -m benchmarks.tiny FILE.keras
"""

import sys
from pathlib import Path

from benchmarks.keras_baseline import write_tiny_backbone

if __name__ == "__main__":
    write_tiny_backbone(Path(sys.argv[1]))
