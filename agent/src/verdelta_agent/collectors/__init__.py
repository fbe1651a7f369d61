"""Every section that the agent collects, in the order in which they are read."""

from typing import Tuple

from ..model import Collector
from .software import dpkg

COLLECTORS: Tuple[Collector, ...] = (dpkg.COLLECTOR,)
