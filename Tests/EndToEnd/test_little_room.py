"""A machine that grants the agent too little: it says so in one line, and does not hang or die without a word."""

import pytest

# Bytes. More than the dynamic linker needs, so that the agent comes to its first line; less than its threads' stacks.
LIMITS = {"address space": "--as=75497472", "data": "--data=25165824"}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS.keys())
@pytest.mark.parametrize("command", ["run", "login"])
def test_too_little_memory_is_one_clear_line(lab, tmp_path, limit, command):
    run = lab.agent(folder=tmp_path, command=(command,), prefix=("prlimit", limit, "--"))
    finished = run.finish(20)
    assert finished.status == 70
    lines = finished.log.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vault-token-agent: too little memory, or too few threads allowed: ")
    assert "Raise LimitAS" in lines[0] and lines[0].endswith("[internal_fault]")


@pytest.mark.parametrize("limit", [4, 5])
@pytest.mark.parametrize("command", ["run", "login"])
def test_too_few_descriptors_are_one_clear_line(lab, tmp_path, limit, command):
    """Three are open from the start, the fourth opened the libraries; the loop takes three."""
    run = lab.agent(folder=tmp_path, command=(command,), prefix=("prlimit", f"--nofile={limit}", "--"))
    finished = run.finish(20)
    assert finished.status == 70
    lines = finished.log.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vault-token-agent: no event loop: ")
    assert "Raise LimitNOFILE" in lines[0] and lines[0].endswith("[internal_fault]")
