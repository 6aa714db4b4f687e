import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))  # for naive.py
torch.set_num_threads(1)  # tests run in parallel processes
