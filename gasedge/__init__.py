"""The face of gasedge: the command line. Stages are imported when their command runs."""
