"""What the sweeps of faults share: the programs, a small run, and what it looks like when it is whole."""
import hashlib, json, os, re, shutil, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.dirname(os.path.dirname(here))
jepac = os.path.realpath(os.environ.get("JEPAC", f"{root}/build/jepac"))
temp = tempfile.mkdtemp(prefix="jepac-faults-")
model = f"{root}/tests/cli/data/tiny.jepa"
os.environ["JEPAC_CACHE"] = f"{temp}/cache"


def need_strace():
    """Exit status 77: ctest counts the test as skipped."""
    if not shutil.which("strace") or subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode:
        print("strace is not there, or may not trace here")
        sys.exit(77)


def end(failed):
    shutil.rmtree(temp, ignore_errors=True)
    sys.exit(1 if failed else 0)


def train(out, steps, *more, threads=1):
    return [jepac, "train", model, "--threads", str(threads), "-q", "--steps", str(steps), "--out", out, *more]


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


def digest(path):
    data = read(path)
    return data and hashlib.sha256(data).hexdigest()[:16]


def log_lines(folder):
    """The steps a log has records of, in order, and its "resumed" lines; None: it has a line that is no JSON."""
    steps, resumed = [], []
    for line in (read(f"{folder}/run.jsonl") or b"").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            return None
        if "step" in record: steps.append(record["step"])
        if "resumed" in record: resumed.append(record["resumed"])
    return steps, resumed


def leftovers(folder):
    return [n for at, _, names in os.walk(folder) for n in names if ".tmp-" in n or n == "lock"]


def whole(folder, final, steps):
    """NULL, or what is wrong with a run that has ended."""
    if digest(f"{folder}/checkpoint.safetensors") != final: return "other bits"
    lines = log_lines(folder)
    if not lines or lines[0] != steps: return f"the log has {lines and lines[0]}"
    if leftovers(folder): return f"leaves {leftovers(folder)}"
    return None
