module bawn.example/nethttp

go 1.22
