"""The active-learning loop: the uncertainty chooses what to compute next. ``bnnp --loop`` is tools/loop.py.

campaign.py has the folders, the markers of finished steps and the commands; then the steps in their order:
division.py (the start set), explore.py, selection.py, label.py (with vasp_label.py, teacher.py and
label_checks.py), train.py, judge.py. queues.py has the jobs, on this machine or of SLURM; doctor.py and
status.py look and change nothing.

    generation_000/   label (input.data, divided)                           train   judge
    generation_001/   explore/run_0001  select  label/job_0001/try_1        train   judge
    generation_002/   ...
    loop.out          a line for each generation, for people and `bnnp plot loop`

Every finished step leaves ``done.json`` with hashes of what went in and came out, written at once as a whole.
What has no marker is not done: the same command does it, or goes on with it.
"""
