# SPDX-License-Identifier: MIT
"""Commands that stand in for those that reach out: they write down how they were called."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

__all__ = ["DIGEST", "Commands"]

#: Of the image that the registry has been given.
DIGEST = f"sha256:{'5' * 64}"

# A call that matches the regular expression in the file "failing" fails.
_HEAD = """\
#!/usr/bin/env bash
set -euo pipefail
call="$(basename "$0") $*"
echo "$call" >>"{calls}"
failing=$(<"{failing}")
if [[ -n $failing && $call =~ $failing ]]; then
  echo "$call: as the test wants it" >&2
  exit 1
fi
"""

_DOCKER = f"""\
case $1 in
  login) cat >"{{folder}}/password" ;;
  save) touch "$3" ;;
  load) test -f "$3" ;;
  buildx)
    case "$3 $5" in
      inspect*json*) cat "{{folder}}/latest" ;;
      inspect*) echo "{DIGEST}" ;;
    esac ;;
  image) printf '%s\\n' "other/image@sha256:{"0" * 64}" "ashwanth01/ashapp-backend@{DIGEST}" ;;
esac
"""

# Revision 7 is what runs; the rendering is real.
_KUBECTL = """\
case "$*" in
  kustomize*) exec "{kubectl}" "$@" ;;
  *"backend/release}}") printf '%s' "$(<"{folder}/release")" ;;
  *" get deployment/"*) printf '%s' "$(<"{folder}/revision")" ;;
  "get --filename "*" name") cat "{folder}/objects" ;;
  "get --filename "*) cat "{folder}/former" ;;
  "apply --filename "*) cp "$3" "{folder}/"; echo configmap/new >>"{folder}/objects" ;;
  *" port-forward "*) echo "Forwarding from 127.0.0.1:40123 -> 5000"; exec sleep 60 ;;
esac
[[ ! -f ${{KUBECONFIG:-}} ]] || cp "$KUBECONFIG" "{folder}/kubeconfig"
"""

_PYTHON = """\
case "$*" in
  ".ci/check.py container") echo "smoke of $ASHAPP_SMOKE_IMAGE" >>"{calls}" ;;
  "-m hatchling build") mkdir dist; touch dist/ashapp_backend-1{{.tar.gz,-py3-none-any.whl}} ;;
  "-m tox -e sbom "*) touch "${{call##*spdx-json=}}" ;;
esac
"""

_TOX = """\
echo "smoke at $ASHAPP_SMOKE_URL" >>"{calls}"
"""

_GH = """\
case "$*" in
  *runs?head_sha=*"&branch=main&event=push "*) cat "{folder}/runs" ;;
  *"runs/7/jobs "*) cat "{folder}/conclusions" ;;
esac
"""

# Helm tells the digest on one of its two streams.
_HELM = f"""\
case $1 in
  package) touch "ashapp-$4.tgz" ;;
  push) test -f "$2"; echo "Digest: sha256:{"6" * 64}" >&2 ;;
  registry) cat >"{{folder}}/password" ;;
esac
"""

# Of some it is enough that they are there: nobody needs to install them.
_BODIES = {
    "cosign": "",
    "docker": _DOCKER,
    "gh": _GH,
    "helm": _HELM,
    "kubectl": _KUBECTL,
    "python": _PYTHON,
    "tox": _TOX,
    "promtool": "",
    "nginx": "",
    "grype": "",
    "chromium": "",
}


class Commands:
    """A folder of commands, to be put before the others on the ``PATH``; it is theirs to write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "calls").touch()
        self.fail("")
        self.revision("7")
        self.release("")
        self.latest("")
        self.conclusions("success")
        (folder / "objects").write_text("deployment.apps/ashapp-backend\nservice/ashapp-backend\n")
        (folder / "former").write_text('{"kind":"Deployment"}\n---\n{"kind":"Service"}\n---\n')
        for name, body in _BODIES.items():
            self._write(name, body)

    def fail(self, call: str) -> None:
        """Let fail the calls that match this regular expression."""
        (self.folder / "failing").write_text(call)

    def revision(self, number: str) -> None:
        """Set the revision that is deployed, empty where there is none."""
        (self.folder / "revision").write_text(number)

    def release(self, number: str) -> None:
        """Set the number of the release that is deployed, empty where it has none."""
        (self.folder / "release").write_text(number)

    def latest(self, configuration: str) -> None:
        """Set what the registry tells of the image that is ``latest``."""
        (self.folder / "latest").write_text(configuration)

    def conclusions(self, words: str) -> None:
        """Set what the pipeline of main has found of the commit, empty where it has not run."""
        (self.folder / "runs").write_text("7\n" if words else "")
        (self.folder / "conclusions").write_text(words)

    @property
    def calls(self) -> list[str]:
        """The calls so far: the name of the command, and its arguments."""
        return (self.folder / "calls").read_text().splitlines()

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which they are found."""
        return {
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(self.folder / "calls"),
            "ARTIFACTS": str(self.folder / "artifacts"),
        }

    def _write(self, name: str, body: str) -> None:
        values = {
            "folder": self.folder,
            "calls": self.folder / "calls",
            "failing": self.folder / "failing",
            "kubectl": shutil.which("kubectl"),
        }
        file = self.folder / name
        file.write_text((_HEAD + body).format(**values))
        file.chmod(0o755)
