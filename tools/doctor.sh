#!/usr/bin/env bash
# ./run doctor: what this machine has and lacks for Caltrop, and what to do about it. Changes nothing.
# Exits with 1 if ./run could not do without a person, or has something to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup.sh

readonly needed_memory=9 needed_disk=8  # GiB: the demo takes up to 7.7, packages and builds take the disk
problems=()

line() { printf '%-14s %s\n' "$1" "$2"; }
problem() { problems+=("$1"); }

# tool NAME OLDEST ADVICE: its version; a problem if it is older than OLDEST.
tool() {
  local version
  if ! command -v "$1" >/dev/null; then line "$1" "missing"; return; fi
  version=$("$1" --version 2>&1 | head -n 1 | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1 || true)
  line "$1" "${version:-unknown version}  $(command -v "$1")"
  if [ -n "$2" ] && [ -n "$version" ] && [ "$(printf '%s\n' "$2" "$version" | sort -V | head -n 1)" != "$2" ]; then
    problem "$1 is $version, and $2 is needed: $3"
  fi
}

machine() {
  local system cpu memory disk
  # shellcheck source=/dev/null
  if ! system=$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME"); then system=$(uname -sr); fi
  cpu=$(awk -F': ' '/model name/ {print $2; exit}' /proc/cpuinfo)
  memory=$(awk '/MemTotal/ {printf "%.1f", $2 / 1048576}' /proc/meminfo)
  disk=$(df -Pk . | awk 'NR == 2 {printf "%.1f", $4 / 1048576}')
  line system "$system, $(uname -m)"
  line processor "${cpu:-unknown}, $(nproc) cores"
  if grep -qm1 amx_bf16 /proc/cpuinfo; then line bfloat16 "in hardware (AMX)"
  elif grep -qm1 avx512_bf16 /proc/cpuinfo; then line bfloat16 "in hardware (AVX-512)"
  else line bfloat16 "not in hardware: float32 is faster here"; fi
  line memory "$memory GiB"
  line disk "$disk GiB free"
  line accelerator "$([ -e /dev/nvidiactl ] && nvidia-smi --query-gpu=name,memory.total --format=csv,noheader 2>/dev/null | paste -sd';' || echo none)"
  if [ ! -w . ]; then problem "this folder cannot be written to, and ./run keeps in it all that it makes: $PWD"; fi
  if [ "${memory%.*}" -lt $needed_memory ]; then problem "the demo takes up to $needed_memory GiB of memory"; fi
  if [ "${disk%.*}" -lt $needed_disk ]; then problem "packages, torch and builds take up to $needed_disk GiB of disk"; fi
}

tools() {
  local newer="use Debian 12, Ubuntu 24.04 or later, or install a newer one"
  tool git '' ''
  tool g++ 12 "$newer"
  tool cmake 3.25 "$newer"
  tool ninja 1.11 "$newer"
  tool ccache '' ''
  tool python3 3.10 "$newer"
  local browser found=''
  for browser in "${browsers[@]}"; do found=${found:-$(command -v "$browser" || true)}; done
  line browser "${found:-missing (only the test of the report needs one)}"
  if is_done npm-uplot "$uplot_version"; then line uPlot "$uplot_version"; else line uPlot missing
    problem "uPlot $uplot_version is missing: ./run build fetches it, and node with npm where the system has none"; fi
  local missing
  missing=$(missing_packages "${build_packages[@]}" | paste -sd' ')
  line packages "${missing:+missing: }${missing:-complete}"
  if [ -z "$missing" ]; then return; fi
  if ! command -v apt-get >/dev/null; then
    problem "packages are missing (names as in Debian); install what your system calls them: $missing"
  elif [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; then
    problem "packages are missing: ./run build installs them"
  else
    problem "packages are missing; as root: apt-get install --no-install-recommends $missing"
  fi
}

torch() {
  local folder=${TORCH_DIR:-} from="TORCH_DIR"
  if [ -z "$folder" ] && folder=$(find_torch python3); then from="the active Python"; fi
  if [ -z "$folder" ] && [ -x .venv/bin/python ] && folder=$(find_torch .venv/bin/python); then from=".venv"; fi
  if [ -z "$folder" ]; then
    line torch missing
    problem "no torch $oldest_torch or newer: ./run build installs $torch_version into .venv"
    return
  fi
  if [ ! -e "$folder/include/ATen/ATen.h" ]; then
    line torch "not in $folder"
    problem "$from: $folder holds no include/ATen/ATen.h; want the folder 'torch' of an installed wheel"
    return
  fi
  line torch "$(sed -n "s/^__version__ = '\(.*\)'/\1/p" "$folder/version.py"), from $from: $folder"
  line '  built for' "$([ -e "$folder/lib/libtorch_cuda.so" ] && echo CUDA || echo 'the CPU')"
}

machine
tools
torch
if [ -x build/caltrop ]; then line caltrop "$(build/caltrop --version)"; else line caltrop "not built yet: ./run build"; fi

if [ ${#problems[@]} -eq 0 ]; then
  printf '\nNothing is missing.\n'
else
  printf '\nTo do:\n'
  printf '  %s\n' "${problems[@]}"
  exit 1
fi
