//! Copies of all that the fleet could not be made again from: taken while it runs, verified, tried out, restored.
