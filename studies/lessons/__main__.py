"""Write every lesson as a page into a folder: ``uv run --group lessons python -m studies.lessons [out/lessons]``."""

import sys
from pathlib import Path

from studies.lessons.handout import write

if __name__ == "__main__":
    for written in write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out/lessons")):
        print(written)
