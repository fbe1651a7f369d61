"""python -m verdelta_controller"""

import sys

from .cli.main import main

sys.exit(main())
