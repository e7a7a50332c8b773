"""The engine: decides, then moves. No Qt, no SDK; runs in the helper process, in the command line and in tests.

A transfer is walked, decided and moved at the same time (`moving`): one thread walks the sources (`plan`) and finds each file
its place (`conflicts`, with `local_tree` or `placing`), others move the files (`download`, `upload`, `copying`) over lanes
(`parallel`), so that large files never hold up small ones: one thread moves many small files together (`small_files`), and each
large one goes in parts, several at once (`fetching`, `sending`). `run.run_job` is the only door.

What was moved is remembered (`records`, kept by `journal`): after a crash, a pause or a lost network the next run walks the
sources again, passes over what is done, and goes on from the last whole part of the rest. Nothing that is remembered is
believed before it was compared with what is there.

Memory
------
Whatever the number and size of files, a transfer holds at most (names from `tuning.Tuning`)

    items_ahead x 1 KiB                                         files that are planned and wait             10 MiB
  + small_memory_bytes x 2                                      small files on their way                    48 MiB
  + most_parts x 2 x piece_bytes                                large downloads, in ranges                  32 MiB
    or part_memory_bytes (one part of a file at least)          large uploads and copies                    96 MiB
  + 250,000 names x 0.25 KiB                                    what is at the target, and what was given   60 MiB

A part of an upload is 8 MiB and more, up to a 10,000th of the file. The walk keeps the folders that it found nothing in yet. A
deletion keeps its list in 16 MiB, and what is longer in a nameless file on disk.
"""
