"""Where the rows of read models live; PostgreSQL first."""
