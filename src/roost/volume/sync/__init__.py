"""Making one tree like another: directories, volumes and buckets, two sorted listings merged."""
