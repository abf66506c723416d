"""A fleet of tokens in one process: all valid soon, their logins spread, and each on its own."""

import json

from laboratory.processes import wait_until

COUNT = 60  # above 50 they are begun one after another


def test_sixty_tokens_are_all_valid_and_the_one_that_fails_touches_no_other(lab, tmp_path):
    lab.role("fleet", ttl="10m")
    configuration = lab.configuration(tmp_path, role="fleet")
    one = configuration["tokens"][0]
    paths = {f"t{number:02}": tmp_path / f"sink-{number:02}" for number in range(COUNT)}
    configuration["tokens"] = [
        {**one, "name": name, "sinks": [{"type": "file", "path": str(path)}]} for name, path in paths.items()
    ]
    stranger = json.loads(json.dumps(configuration["tokens"][7]))
    stranger["auth"]["role"] = "nobody"
    configuration["tokens"][7] = stranger
    served = {name: path for name, path in paths.items() if name != stranger["name"]}
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: all(path.exists() for path in served.values()), 30, "59 tokens in their files")
    wait_until(
        lambda: sum(token["served"] for token in run.status_file.get("tokens", [])) == COUNT - 1, 10, "59 reported"
    )
    tokens = {path.read_text().strip() for path in served.values()}
    assert len(tokens) == COUNT - 1
    assert all(lab.bao.remaining(token) is not None for token in tokens)
    assert not paths[stranger["name"]].exists()
    # Begun 5.5 ms apart at least: 60 logins take 0.32 s. The front door's own stalls may bring some of them together.
    logins = sorted(each.at for each in lab.front_door.exchanges if each.at >= run.started)
    assert logins[COUNT - 1] - logins[0] >= 0.2
    run.stop()
