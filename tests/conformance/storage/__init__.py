"""What every place that keeps bytes has to do, through `BlobStore` and the `Driver` protocol."""
