"""Started by `fulfillment web`, once for each process."""

import sys

from worker.web.serve import serve

serve(int(sys.argv[1]), has_keys="--no-keys" not in sys.argv)
