// What Go's archive/tar sees in each archive named on standard input, a line each.
package main

import (
	"archive/tar"
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

func list(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var lines strings.Builder
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return lines.String(), nil
		}
		if err != nil {
			return "", err
		}
		kind, size, link := header.Typeflag, header.Size, ""
		if kind == 0 || kind == tar.TypeGNUSparse || kind == tar.TypeCont {
			kind = tar.TypeReg
		}
		if kind != tar.TypeReg {
			size = 0
		}
		if kind == tar.TypeLink || kind == tar.TypeSymlink {
			link = header.Linkname
		}
		if kind == tar.TypeXGlobalHeader {
			continue
		}
		if _, err := io.Copy(io.Discard, reader); err != nil {
			return "", err
		}
		name := strings.TrimRight(header.Name, "/")
		link = strings.TrimRight(link, "/")
		fmt.Fprintf(&lines, "%s %c %d %s;", hex.EncodeToString([]byte(name)), kind, size, hex.EncodeToString([]byte(link)))
	}
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		lines, err := list(input.Text())
		if err != nil {
			lines = "error"
		}
		fmt.Println(lines)
	}
}
