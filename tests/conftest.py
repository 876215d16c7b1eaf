"""Settings for every test, and the folder of shared test modules on the path."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
