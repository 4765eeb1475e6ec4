package report

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision/metric"
)

// scenes are runs of every shape. VISLORA_REPORTS=folder go test
// ./vision/report writes their reports there, for people to look at.
var scenes = map[string]scene{
	"twelve":  {classes: 12, epochs: 10, images: 400, sure: 4, test: true},
	"two":     {classes: 2, epochs: 1, images: 30, sure: 3},
	"noval":   {classes: 5, epochs: 3, noVal: true},
	"hundred": {classes: 100, epochs: 10, images: 900, sure: 4},
	"detect":  {classes: 3, epochs: 8, images: 40, task: "detect"},
	"many":    {classes: 40, epochs: 8, images: 30, task: "detect"},
	"mask":    {classes: 3, epochs: 8, images: 12, task: "instance"},
	"segment": {classes: 3, epochs: 8, images: 12, task: "segment"},
	"multi":   {classes: 6, epochs: 10, images: 300, sure: 2, multi: true},
}

func reportOf(t *testing.T, dir string, r Run) string {
	t.Helper()
	if err := HTML(dir, r); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	tag     = regexp.MustCompile(`<[^>]*>`)
	reaches = regexp.MustCompile(`(?i)(src|href|action|data|poster|srcset)\s*=\s*"([^"]*)"|url\(([^)]*)\)|@import`)
)

// slim is the page without the contents of its pictures, which are megabytes.
func slim(page string) string {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(page, ";base64,")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString(";base64,")
		page = after[strings.IndexByte(after, '"'):]
	}
}

// prose is the page without its style sheet, its tags and the pictures in them.
func prose(page string) string {
	_, body, _ := strings.Cut(slim(page), "<body>")
	return strings.ReplaceAll(tag.ReplaceAllString(body, " "), "\u00a0", " ")
}

func TestReportsOfEveryShape(t *testing.T) {
	for name, s := range scenes {
		dir := t.TempDir()
		if out := os.Getenv("VISLORA_REPORTS"); out != "" {
			dir = filepath.Join(out, name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		r := s.run(t, dir)
		page := reportOf(t, dir, r)
		text := prose(page)
		for _, bad := range []string{"NaN", "Inf", "no value", "ZgotmplZ", "<script", "<no value>", "%!"} {
			if strings.Contains(text, bad) || strings.Contains(page, "<script") {
				t.Errorf("%s: the page contains %q", name, bad)
			}
		}
		for _, m := range reaches.FindAllStringSubmatch(slim(page), -1) {
			if !strings.HasPrefix(m[2], "data:image/") {
				t.Errorf("%s: the page asks for %.60q", name, m[0])
			}
		}
		want := strings.Count(page, "<img ")
		pictures := 1 // train_batch0.jpg
		for _, p := range []string{r.Pictures.Results, r.Pictures.Labels, r.Pictures.ROC, r.Pictures.Confusion, r.Pictures.ConfusionNormalized, r.Mistakes,
			r.Pictures.Box.PR, r.Pictures.Box.F1, r.Pictures.Box.P, r.Pictures.Box.R, r.Pictures.Mask.PR, r.Pictures.Mask.F1, r.Pictures.Mask.P, r.Pictures.Mask.R} {
			if p != "" {
				pictures++
			}
		}
		pictures += 2 * len(r.ValBatches)
		if s.classes > mostNumbered {
			pictures-- // the second confusion matrix would be the same
		}
		if want != pictures {
			t.Errorf("%s: %d pictures in the page, %d in the run", name, want, pictures)
		}
		if again := reportOf(t, dir, r); again != page {
			t.Errorf("%s: the same run gives other bytes", name)
		}
		for _, part := range []string{`id="summary"`, `id="inputs"`, `id="use"`, `id="details"`, `id="warnings"`} {
			if !strings.Contains(page, part) {
				t.Errorf("%s: no section %s", name, part)
			}
		}
		if has := strings.Contains(page, `id="results-val"`); has == s.noVal {
			t.Errorf("%s: section of the validation: %v", name, has)
		}
	}
}

// An empty run gives a page, not one empty section.
func TestEmptyReport(t *testing.T) {
	page := reportOf(t, t.TempDir(), Run{})
	if strings.Contains(page, "<section") || strings.Contains(page, "<img") || !strings.Contains(page, "<h1>vislora run</h1>") {
		t.Errorf("page of an empty run:\n%s", page[strings.Index(page, "<body>"):])
	}
}

// The numbers of the table are those of the metrics.
func TestReportValues(t *testing.T) {
	dir := t.TempDir()
	r := scenes["twelve"].run(t, dir)
	r.Data.Images = []int{1650, 400, 177}
	c := r.Evaluations[0].Classification
	k := &c.PerClass[1]
	k.Sensitivity, k.Specificity, k.Precision, k.F1, k.AUROC, k.Support = 0.91234, 0.87654, 0.76543, 0.65432, 0.54321, 1234
	k.CI95["sensitivity"] = metric.Interval{0.81111, 0.98888}
	c.AccuracyTop1 = 0.965
	c.CI95["accuracy_top1"] = metric.Interval{0.9464, 0.9812}
	page := reportOf(t, dir, r)
	row := regexp.MustCompile(`(?s)<tr><td>Bravo-Orange-Juice-With-Pulp-Not-From-Concentrate</td>.*?</tr>`).FindString(page)
	got := strings.Join(strings.Fields(tag.ReplaceAllString(strings.ReplaceAll(row, "\u00a0", ""), " ")), " ")
	if want := "Bravo-Orange-Juice-With-Pulp-Not-From-Concentrate 1234 91.2% 81.1–98.9 87.7% "; !strings.HasPrefix(got, want) {
		t.Errorf("row %q, want it to begin with %q", got, want)
	}
	text := prose(page)
	for _, want := range []string{
		"LoRA of rank 8 on 49 layers; 304 908 of 5.8 million parameters trained (5.2 %).",
		"10 epochs in 4 min 12 s; best epoch 7 of 10.",
		"accuracy 96.5 % (95 % interval 94.6–98.1 %)",
		"train 1 650, val 400, test 177",
		strings.Repeat("0123456789abcdef", 4),
		"Zucchini &lt;script&gt;alert(1)&lt;/script&gt;",
		"vislora val --weights runs/classify/grocery/weights/best --data &#39;data/my groceries&#39; --split test",
		"leakage", "truncated JPEG: ends after 812", "lora_alpha: 16", "blocks.48.attn.qkv",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if !strings.Contains(page, `style="--v:91.2%"`) {
		t.Error("no bar of 91.2 %")
	}
}

// Pictures that are missing are left out; what is no picture is named.
func TestReportPictures(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mistakes.jpg"), []byte("\xff\xd8\xff half a picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	page := reportOf(t, dir, Run{Mistakes: "mistakes.jpg", TrainBatches: []string{"absent.jpg"}, Pictures: Pictures{ROC: "../roc.png"}})
	if strings.Contains(page, "<img") {
		t.Error("a picture is shown")
	}
	text := prose(page)
	if !strings.Contains(text, "The picture mistakes.jpg is missing") || !strings.Contains(text, "The picture ../roc.png is missing") || strings.Contains(text, "absent.jpg") {
		t.Errorf("warnings: %s", text)
	}
}

func TestReportCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	if err := HTML(dir, Run{}); err == nil || !strings.HasPrefix(err.Error(), "write report: ") {
		t.Errorf("error %v", err)
	}
}
