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
    return [jepac, "train", model, "--threads", str(threads), "-q", "--steps", str(steps), "--set", "validate=7", "--out", out, *more]


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
    """The steps of a log's records, in order, and of its validations; None: it has a line that is no JSON."""
    steps, validations = [], []
    for line in (read(f"{folder}/run.jsonl") or b"").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            return None
        if "step" in record: (validations if "val.loss" in record else steps).append(record["step"])
    return steps, validations


def leftovers(folder):
    return [n for at, _, names in os.walk(folder) for n in names if ".tmp-" in n or n == "lock"]


def whole(folder, like):
    """None, or in what a run that has ended differs from one that nothing happened to: a folder, or mark() of it."""
    like = like if isinstance(like, tuple) else mark(like)
    now = mark(folder)
    for a, b, what in zip(now, like, ("other bits", "other best weights", "the log has")):
        if a != b: return f"{what} {a} for {b}"
    if leftovers(folder): return f"leaves {leftovers(folder)}"
    return None


def mark(folder):
    return digest(f"{folder}/checkpoint.safetensors"), digest(f"{folder}/best.safetensors"), log_lines(folder)
