#!/bin/sh
# Figures of detection and forecasts on the quality corpora beside this repository: our own, and the independent scorer's.
# QUALITY is where score.py and data/ are; PROFILE the profile; PYTHON one with numpy and pandas.
set -eu

QUALITY=${QUALITY:-../shared/quality}
PROFILE=${PROFILE:-default}
PYTHON=${PYTHON:-python3}
FOREWARN=${FOREWARN:-target/release/forewarn}

if [ ! -f "$QUALITY/score.py" ]; then
    echo "SKIPPED: there is no $QUALITY/score.py; set QUALITY to the folder with the quality corpora"
    exit 0
fi
scores=$(mktemp -d)
trap 'rm -rf "$scores"' EXIT
for corpus in nab cloudmon; do
    forecasts=
    if [ "$corpus" = nab ]; then forecasts=--forecasts; fi
    echo "== $corpus, profile $PROFILE"
    # shellcheck disable=SC2086
    "$FOREWARN" evaluate --data "$QUALITY/data/$corpus" --profile "$PROFILE" --out "$scores/$corpus" $forecasts
    scorer=events
    if [ "$corpus" = nab ]; then scorer=nab; fi
    if "$PYTHON" -c 'import numpy, pandas' 2>/dev/null; then
        "$PYTHON" "$QUALITY/score.py" "$scorer" --data "$QUALITY/data/$corpus" --results "$scores/$corpus"
    else
        echo "SKIPPED: $PYTHON has no numpy and pandas, which score.py needs; set PYTHON"
    fi
done
for seed in 1 2; do
    echo "== simulated breaches, profile $PROFILE, seed $seed"
    "$FOREWARN" evaluate --breaches --seed "$seed" --data "$QUALITY/data/nab" "$QUALITY/data/cloudmon" --profile "$PROFILE"
done
