package report

import (
	"context"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browse runs headless Chromium on a file and returns what it prints.
func browse(t *testing.T, file string, args ...string) string {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not on PATH: apt-get install chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// Nothing of the person's own profile, and no network even if asked to.
	args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage",
		"--proxy-server=127.0.0.1:9", "--user-data-dir=" + t.TempDir()}, args...)
	cmd := exec.CommandContext(ctx, browser, append(args, "file://"+file)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return string(out)
}

// probe is what a browser makes of the page. It runs in a copy whose policy
// allows it; the policy for pictures stays.
const probe = `<script>addEventListener("load", () => {
	const broken = [...document.images].filter(i => !i.complete || !i.naturalWidth || !i.clientWidth).map(i => i.alt);
	const e = document.documentElement;
	document.body.dataset.seen = document.images.length + " pictures, broken: [" + broken + "], wider by " + (e.scrollWidth - e.clientWidth)
		+ ", empty: [" + [...document.querySelectorAll("section,figure,table,ul,pre")].filter(s => s.clientHeight < 12).map(s => s.outerHTML.slice(0, 80)) + "]";
})</script></body>`

func TestReportInBrowser(t *testing.T) {
	for name, width := range map[string]string{"twelve": "1280,1000", "noval": "420,800", "mask": "420,800", "segment": "900,800"} {
		dir := t.TempDir()
		r := scenes[name].run(t, dir)
		page := reportOf(t, dir, r)
		copied := strings.Replace(strings.Replace(page, "style-src", "script-src 'unsafe-inline'; style-src", 1), "</body>", probe, 1)
		if err := os.WriteFile(filepath.Join(dir, "probe.html"), []byte(copied), 0o644); err != nil {
			t.Fatal(err)
		}
		dom := browse(t, filepath.Join(dir, "probe.html"), "--window-size="+width, "--dump-dom")
		m := regexp.MustCompile(`data-seen="([^"]*)"`).FindStringSubmatch(dom)
		if m == nil {
			t.Fatalf("%s: the page did not load:\n%.500s", name, dom)
		}
		pictures := map[string]string{"twelve": "9", "noval": "3", "mask": "16", "segment": "7"}[name]
		if want := pictures + " pictures, broken: [], wider by 0, empty: []"; m[1] != want {
			t.Errorf("%s: the browser sees %q, want %q", name, m[1], want)
		}
		if name == "noval" {
			continue
		}
		text := strings.ReplaceAll(prose(strings.Replace(dom, "<body data", "<body><i data", 1)), "&nbsp;", " ")
		figures := map[string]func() []string{
			"twelve": func() []string {
				return []string{"Överlängenverhältnis", percent(float64(r.Evaluations[1].Classification.PerClass[0].Sensitivity))}
			},
			"mask": func() []string {
				return []string{"box mAP50-95", "not found", decimal(float64(r.Evaluations[0].Masks.Stats.AR100))}
			},
			"segment": func() []string {
				return []string{"boundary F1", "HD95 in mm", percent(float64(r.Evaluations[0].Segmentation.PerClass[1].Dice))}
			},
		}[name]()
		for _, want := range append(append(r.Summary(), r.Model.SHA256), figures...) {
			if want = strings.ReplaceAll(want, nbsp, " "); !strings.Contains(text, want) {
				t.Errorf("%s: the browser's page does not say %q", name, want)
			}
		}
		if name != "twelve" {
			continue
		}

		shot := filepath.Join(dir, "shot.png")
		browse(t, filepath.Join(dir, "report.html"), "--window-size=1200,2400", "--screenshot="+shot)
		f, err := os.Open(shot)
		if err != nil {
			t.Fatal(err)
		}
		im, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if n := colours(im); n < 50 {
			t.Errorf("the screenshot has %d colours: the page looks empty", n)
		}
	}
}

func colours(im image.Image) int {
	seen := map[[3]uint32]bool{}
	for y := 0; y < im.Bounds().Dy(); y += 2 {
		for x := 0; x < im.Bounds().Dx(); x += 2 {
			r, g, b, _ := im.At(x, y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	return len(seen)
}
