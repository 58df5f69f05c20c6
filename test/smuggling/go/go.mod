module bawn.example/smuggling

go 1.22
