import sys
from pathlib import Path

# The modules beside this file: pytest's importlib mode leaves sys.path alone.
sys.path.append(str(Path(__file__).parent))
