"""The engines that race, ours first; a new one is a file here and a line below."""

from __future__ import annotations

from bench.engines.engine import Engine
from bench.engines.numba_scan import NumbaScan
from bench.engines.scipy_columns import ScipyColumns
from bench.engines.seismic import Seismic
from bench.engines.sparse_ir_index import SparseIR
from bench.engines.vsag import VsagSindi, VsagSindiPruned

OURS: tuple[Engine, ...] = (SparseIR("float16"), SparseIR("float32"), SparseIR("uint8"))
PEERS: tuple[Engine, ...] = (
    ScipyColumns(),
    NumbaScan(),
    VsagSindi(),
    VsagSindiPruned(),
    Seismic(),
)
