"""What others would do: Keras end-to-end, scripts, other libraries, other runtimes."""
