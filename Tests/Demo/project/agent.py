"""A small agent: runs the tests, reads the failing code, mends it, runs the tests again."""
import os
import pathlib
import subprocess
import sys


def run_tests():
    result = subprocess.run([sys.executable, "-m", "unittest", "-q"], capture_output=True, text=True)
    lines = result.stderr.strip().splitlines()
    print(f"tests: {lines[-1] if lines else 'no output'}")
    return result.returncode == 0


print(f"I am uid {os.getuid()} in {os.getcwd()}, home {os.environ['HOME']}, session {os.environ['CARREL_SESSION']}")
if run_tests():
    sys.exit("nothing to mend")
path = pathlib.Path("shop.py")
source = path.read_text()
print("reading shop.py ... the loop forgets what it had")
path.write_text(source.replace("result = price", "result += price"))
sys.exit(0 if run_tests() else 1)
