"""`python -m laboratory`: a laboratory to try things in by hand. Prints where everything is; Ctrl-C ends it."""

import json
import signal
import sys
import threading

from .laboratory import Laboratory


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Laboratory() as laboratory:
        folder = laboratory.folder / "agent"
        folder.mkdir()
        configuration = folder / "agent.json"
        configuration.write_text(json.dumps(laboratory.configuration(folder), indent=2))
        print("# a shell with these variables can run: vault-token-agent run --config $CONFIG")
        for name, value in laboratory.environment().items():
            print(f"export {name}={value}")
        print(f"export CONFIG={configuration}")
        print(f"export BAO_ADDR={laboratory.bao.url} BAO_TOKEN={laboratory.bao.root_token}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
