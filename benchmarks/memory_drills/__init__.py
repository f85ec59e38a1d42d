"""Drills of the workflow store: what it promises, tried by force.

    python -m benchmarks.memory_drills                              # everything, at full length
    python -m benchmarks.memory_drills kills flips --kills 100 --flips 100
    python -m benchmarks.memory_drills --state drills.jsonl         # goes on where it stopped

kills       1 to 4 processes of 2 to 4 threads remember without end and say what was acknowledged;
            all are killed (SIGKILL) 0.1 to 0.4 s after the first began, 20 times on one file. After
            every kill the file is opened and verified, and every acknowledged write must be there
            as it was. Then the same in the middle of a migration from schema 1, of a compaction, a
            backup, a restore, and a change of embedder
diskfull    a file system of 4 MiB is filled by 4 threads until nothing goes in any more
flips       one bit of a closed file is flipped, or the file is cut, or a page is zeroed: opening,
            reading and verifying it either meets an error or gives exactly what was there. Counted
            by what notices first; `misread` is what only verifying notices. Then the same to the
            write-ahead log of a store that was not closed, which may also become an earlier state
machine     the state machine of the tests, 2,000 times 50 steps
concurrent  8 processes write at once, also to one and the same workflow
backup      backups and restores while others write

A drill is cut into blocks, each with a seed of its own, which is printed; with `--state`, blocks
that are done are not done again. Where processes race, a seed repeats what they do and not when.
Ends with 1 when a promise was broken; the files of that block are kept.

Not covered: power cuts. A killed process loses nothing that it gave to the system, so no kill shows
whether it reached the disk (tests/memories looks at the settings that see to this).
"""
