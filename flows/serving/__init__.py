"""Server, worker and pages, started and supervised as one."""
