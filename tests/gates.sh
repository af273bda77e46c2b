#!/usr/bin/env bash
# Every gate, in the order of what fails fastest. Locally and in CI alike: `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # each of the many processes that the tests start would compile all of it anew
export OPENBLAS_NUM_THREADS=1 # BLAS threads wake up for nothing and slow a small machine down

step() { printf '\n== %s\n' "$1"; }

step "format (ruff)"
ruff format --check .
step "lint (ruff)"
ruff check .
step "types (mypy --strict)"
mypy
step "import contracts (import-linter)"
lint-imports --no-logo 2>/dev/null || lint-imports
step "tests (pytest)"
rm -f .coverage .coverage.*
NOT_RUN_FILE=$(mktemp)
export NOT_RUN_FILE
trap 'rm -f "$NOT_RUN_FILE"' EXIT
pytest -n "${TEST_PROCESSES:-2}" --cov --cov-report= "$@"
step "coverage"
coverage report --skip-covered --skip-empty --fail-under=95
printf 'what is pure must be covered to the last branch:\n'
pure='detectors/*,service/domain/*,service/errors.py,service/windows/*,service/alerts/*'
pure+=',service/backtest/*,service/calibration/*,service/exporter/*,service/settings/*,service/storage/codec.py,service/ingest/decode/*'
for module in alarming closing corrections counting document evaluate judging outcome policy thumbs; do pure+=",service/evaluation/$module.py"; done
for module in blocks counting fates pending positions; do pure+=",service/ingest/$module.py"; done
for module in addresses payloads presets retry signature; do pure+=",service/webhooks/$module.py"; done
coverage report --include="$pure" --skip-covered --skip-empty --fail-under=100

step "done"
if [ -s "$NOT_RUN_FILE" ]; then # in CI what cannot be run fails
    cat "$NOT_RUN_FILE"
else
    printf 'Everything was run.\n'
fi
