"""Its folder is put on the path by pytest, so that tests in folders below can import `bench_runs`, too."""
