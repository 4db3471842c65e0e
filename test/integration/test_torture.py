"""A share of test/torture in each run; the whole is 1,000 kills and 100 cuts."""

import os
import pathlib
import subprocess
import sys

from conftest import BUILD

TORTURE = pathlib.Path(__file__).resolve().parents[1] / "torture/torture.py"


def torture(*options):
    run = subprocess.run([sys.executable, TORTURE, *options], capture_output=True, text=True, timeout=600,
                         env=dict(os.environ, VIRTWATCH_BUILD=str(BUILD)))
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_nothing_acknowledged_is_lost_by_kills_and_power_cuts():
    assert ", 0 lost, " in torture("--kills", "60", "--cuts", "40")


def test_a_disk_that_lies_about_syncs_is_found_out():
    assert "acknowledged and lost" in torture("--kills", "0", "--cuts", "5", "--lie")
