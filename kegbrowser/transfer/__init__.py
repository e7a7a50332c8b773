"""The engine: decides, then moves. No Qt, no SDK; runs in the helper process, in the command line and in tests.

A transfer is walked, decided and moved at the same time (`moving`): one thread walks the sources (`plan`) and finds each file
its place (`conflicts`, with `local_tree` or `placing`), others move the files (`download`, `upload`, `copying`) over two lanes
(`parallel`), so that large files never hold up small ones. `run.run_job` is the only door.

Memory
------
Whatever the number and size of files, a transfer holds at most (names from `tuning.Tuning`)

    items_ahead x 1 KiB                                         files that are planned and wait             10 MiB
  + small_threads x (2 x piece_bytes + W(small_file_bytes))     small files on their way                    12 MiB + 6 W
  + large_threads x range_threads x 2 x piece_bytes             large downloads, in ranges                  16 MiB
    or large_threads x (6 x piece_bytes + W(size))              large uploads and copies                    12 MiB + 2 W
  + 250,000 names x 0.25 KiB                                    what is at the target, and what was given   60 MiB

where W(size) is what the storage's writer keeps of a file of that size; each writer's docstring says it. A walk keeps the folders
that it found nothing in yet. A deletion keeps its list in 16 MiB, and what is longer in a nameless file on disk.
"""
