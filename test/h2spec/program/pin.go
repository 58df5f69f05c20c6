//go:build pin

// Package pin names the program that go.mod and go.sum pin, with all that it is built of.
package pin

import _ "github.com/summerwind/h2spec/cmd/h2spec"
