"""`python -m mlx_harmony.worker FD`: started by the engine with one end of a socket pair as FD, never by a person."""

import logging
import socket
import sys

from mlx_harmony.worker.serve import serve


def main() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)


main()
