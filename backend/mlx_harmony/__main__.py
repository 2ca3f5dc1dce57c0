"""`python -m mlx_harmony`: the same as the `mlx-harmony` command, for where the script is not on the path."""

import sys

from mlx_harmony.cli.main import main

sys.exit(main())
