"""The clients do what Mosquitto's do: the same cases against Debian's originals and against ours."""
