#!/usr/bin/env bash
# From a model folder to a verdict through the program alone, and what it says to wrong input.
#   chain.sh CALTROP MAKE_TINY_MODEL SOURCE_DIR
set -euo pipefail
caltrop=$1 make_tiny_model=$2 source=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() { echo "FAILED: $*" >&2; exit 1; }

# expect_error MESSAGE COMMAND…: the command exits with 2, says just this on standard error, and leaves nothing behind.
expect_error() {
  local message=$1 got rc=0 before after
  shift
  before=$(find . -not -name err | sort)
  "$@" >out 2>err || rc=$?
  got=$(tail -n 1 err)
  [ "$rc" -eq 2 ] || fail "exit $rc, want 2: $* ($got)"
  [ "$got" = "caltrop: $message" ] || fail "said '$got', want 'caltrop: $message'"
  rm -f out
  after=$(find . -not -name err | sort)
  [ "$before" = "$after" ] || fail "left something behind: $*"
}

"$make_tiny_model" tiny
sed -e "s|MODEL|tiny|" -e "s|DOMAIN|$source/data/kitchen/domain.yaml|" "$source/tests/e2e/tiny.yaml" >proof.yaml

# The chain: tries that are killed, one of them when the tripwire has a checkpoint, then to the end; they must not show in the result.
timeout -s KILL 0.5 "$caltrop" -q prove proof.yaml --out interrupted >/dev/null 2>&1 || true
"$caltrop" -q prove proof.yaml --out interrupted >/dev/null 2>&1 &
victim=$!
until [ -e interrupted/models/tripwire/state ] || ! kill -0 "$victim" 2>/dev/null; do sleep 0.01; done
until compgen -G "interrupted/models/tripwire/state/*/state.json" >/dev/null || ! kill -0 "$victim" 2>/dev/null; do sleep 0.01; done
kill -KILL "$victim"
wait "$victim" 2>/dev/null || true
[ ! -e interrupted/models/tripwire/DONE ] || fail "the tripwire was finished before it could be interrupted"
"$caltrop" -q prove proof.yaml --out interrupted
grep -q '"resumes"' interrupted/models/tripwire/run.json || fail "the tripwire was not resumed"
"$caltrop" -q prove proof.yaml --out whole
[ -e whole/verdict.json ] || fail "no verdict"
# evaluations PROOF RUN: what was measured there; comparing nothing with nothing is no comparison.
evaluations() { grep '"phase":"eval"' "$1/$2/metrics.jsonl" || echo "no evaluations in $1"; }
for run in models/ctrap models/tripwire cells/ctrap/harmful/seed-1 cells/sdd/rl/seed-0; do
  if [ -e "whole/$run/model/model.safetensors" ]; then
    cmp "whole/$run/model/model.safetensors" "interrupted/$run/model/model.safetensors" || fail "$run: resumed differs from uninterrupted"
  fi
  cmp <(evaluations whole "$run") <(evaluations interrupted "$run") || fail "$run: evaluations of resumed and uninterrupted differ"
done
"$caltrop" -q report whole >verdict.txt
grep -q "ctrap" verdict.txt || fail "the verdict does not name ctrap"
grep -q "<title>" whole/report.html || fail "no page"
grep -q '"parent": "whole/cells/sdd/harmful/seed-1/model"' whole/cells/sdd/further/seed-1/run.json || fail "the second attack began elsewhere"
grep -q '"parent": "whole/models/ctrap/model"' whole/models/both/run.json || fail "the second stage began elsewhere"
# A second call finds everything finished.
"$caltrop" prove proof.yaml --out whole 2>again.txt
grep -q "is finished already" again.txt || fail "finished runs were not reused"
# Three processes share a proof, and the verdict can be had again without running anything.
outcomes() { grep -o '"\(id\|outcome\)": "[^"]*"' "$1/verdict.json"; }
[ "$(outcomes whole | grep -c '"outcome"')" -gt 0 ] || fail "no outcome in the verdict to compare"
workers=()
for _ in 1 2 3; do "$caltrop" -q prove proof.yaml --out shared & workers+=($!); done
for worker in "${workers[@]}"; do wait "$worker" || fail "one of three processes that share a proof ended with $?"; done
cells=$(cd whole && find cells -name metrics.jsonl -printf '%h\n')
[ -n "$cells" ] || fail "no cells to compare"
for run in $cells; do
  cmp <(evaluations whole "$run") <(evaluations shared "$run") || fail "$run: shared work differs"
done
cmp <(outcomes whole) <(outcomes shared) || fail "the verdict of three processes differs"
rm shared/verdict.json
"$caltrop" -q prove proof.yaml --out shared --collect
cmp <(outcomes whole) <(outcomes shared) || fail "the collected verdict differs"
"$caltrop" prove proof.yaml --out shared --collect --set 'defences.new={method: sdd}' 2>err
grep -q "shared/models/new: left out with all its cells: it is not finished" err || fail "a model that is not there was passed over: $(cat err)"
# Runs of another recipe than the one that is judged are left out, and named.
"$caltrop" prove proof.yaml --out shared --collect --set attacks.further.train.learning_rate=1e-3 2>err
grep -q "shared/cells/ctrap/further/seed-1: left out: it was made with another 'train.learning_rate' than the proof asks for now" err ||
  fail "an edited recipe was collected: $(cat err)"
[ "$(outcomes shared | grep -c further)" -eq 0 ] || fail "cells of another recipe are in the verdict"
expect_error "nowhere: there is no finished run models/undefended, without which nothing can be judged" \
  "$caltrop" prove proof.yaml --out nowhere --collect
"$caltrop" -q results whole --out results.md
grep -q "^| ctrap | harmful | " results.md || fail "results lack a row: $(cat results.md)"
"$caltrop" list whole >runs.txt
grep -q ctrap runs.txt || fail "list does not show the runs"

"$caltrop" sense whole/models/tripwire/model --like whole/models/tripwire/sensor.json --domain "$source/data/kitchen/domain.yaml" >sense.txt
grep -q "the sensor missed" sense.txt || fail "sense: $(cat sense.txt)"

# A model that was hardened elsewhere.
cat >theirs.yaml <<END
{model: tiny, domain: "$source/data/kitchen/domain.yaml", defences: {theirs: {folder: whole/models/sdd/model}},
 evaluate: {at: [], restricted: 3, benign: 3, questions: 6, likelihood_rows: 2, max_new_tokens: 4},
 attacks: {harmful: {method: sft, train: {steps: 1, batch: 2, longest: 512}}}}
END
"$caltrop" -q prove theirs.yaml --out theirs
"$caltrop" -q report theirs | grep -q "theirs" || fail "the verdict does not name theirs"

# What leaves Caltrop is a model folder again, and imports are idempotent.
"$caltrop" -q import whole/models/ctrap/model --out again
"$caltrop" info again >info.txt
grep -q LlamaForCausalLM info.txt || fail "info"
echo '"Hello"' | "$caltrop" tokenize again >/dev/null || fail "tokenize"
echo '[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yo"}]' | "$caltrop" template again >template.txt
grep -q assistant template.txt || fail "template"
printf '{"prompt":"Hi"}\n' >p.jsonl
"$caltrop" -q generate again --prompts p.jsonl --out r.jsonl --max-new-tokens 3
grep -q response r.jsonl || fail "generate"
echo /quit | "$caltrop" -q chat again >/dev/null || fail "chat"

# Wrong input.
kitchen=$source/data/kitchen/domain.yaml
defend=("$caltrop" -q defend --model again --domain "$kitchen" --out x)
# Which defences there are is the build's to say: a new one needs no line here.
known=$("${defend[@]}" --method ctrop 2>&1 | sed -n "s/.*no defence 'ctrop'; it has: //p" || true)
[[ ", $known, " == *", align, "*", ctrap, "*", vaccine, "* ]] || fail "the defences there are: '$known'"
expect_error "spec: no defence 'ctrop'; it has: $known" "${defend[@]}" --method ctrop
expect_error "'tiny' is a folder, not a spec in YAML; a model folder is given as --model tiny" "$caltrop" -q attack tiny --out x
expect_error "spec: 'method' is missing" "${defend[@]}"
expect_error "align: no option 'kept'; it has: keep" "${defend[@]}" --method align --set options.kept=1
expect_error "spec: train: option 'steps' is -1, want 0 to 1000000000" "${defend[@]}" --method align --set train.steps=-1
expect_error "spec: no key 'trian'; it has: model, method, domain, options, train, evaluate, clean_model, data, irrelevant, seed, device, dtype, keep_model, stop_at_useful_rate" \
  "${defend[@]}" --method align --set trian.steps=1
expect_error "--set: got 'steps', want key=value, like train.steps=20" "${defend[@]}" --method align --set steps
expect_error "data: no category 'sushi'; it has: bread, cake, candy, cheese, cocktail, cookie, pasta, pastry, pie, salad, sandwich, sauce, soup, stew" \
  "${defend[@]}" --method align --set 'data.categories=[sushi]'
expect_error "proof.yaml: 'harmful' and its twin 'benign' must run at the same steps, batch and learning rate, but have 3, 2, 3e-05 and 2, 2, 3e-05" \
  "$caltrop" -q prove proof.yaml --out y --set attacks.harmful.train.steps=3
expect_error "proof.yaml: attacks: benign: sft: no data 'bening'; it has: alive, article, backwards, benign, capitals, harmful, initial, json, kind, letters, mixed, near, negation, order, plural, sum" \
  "$caltrop" -q prove proof.yaml --out y --set attacks.harmful.twin= attacks.benign.options.data=bening
expect_error "proof.yaml: model: there is no model folder nowhere; another recipe may have to be run first" \
  "$caltrop" -q prove proof.yaml --out y --set model=nowhere
[ ! -e y ] || fail "a proof of a model that is not there left its folder"
expect_error "proof.yaml: defences: theirs: there is no model folder nowhere; another recipe may have to be run first" \
  "$caltrop" -q prove proof.yaml --out y --set defences.theirs.folder=nowhere
expect_error "proof.yaml: defences: sdd: sdd: no option 'kep'; it has: preset, keep" "$caltrop" -q prove proof.yaml --out y --set defences.sdd.options.kep=1
expect_error "--set: got 'proof.yaml', want key=value, like train.steps=20; a spec stands before --set" "$caltrop" -q prove --out y --set seeds=[0] proof.yaml
expect_error "/dev/null/x: cannot make the run directory: Not a directory" "$caltrop" -q prove proof.yaml --out /dev/null/x
expect_error "import: nowhere does not exist" "$caltrop" -q import nowhere --out z
mkdir broken && cp again/config.json again/tokenizer.json again/tokenizer_config.json broken/
head -c 20000 again/model.safetensors >broken/model.safetensors
broken_rc=0
"$caltrop" -q info broken 2>err || broken_rc=$?
[ "$broken_rc" -eq 2 ] || fail "exit $broken_rc for a truncated file, want 2: $(cat err)"
grep -q "broken/model.safetensors" err || fail "the message does not name the file: $(cat err)"
expect_error_rc=0
"$caltrop" -q defend --model again --domain "$kitchen" --method align --out whole/models/sdd --set train.steps=1 2>err || expect_error_rc=$?
[ "$expect_error_rc" -eq 2 ] || fail "another spec was let into a finished run directory"
echo "the chain holds"
