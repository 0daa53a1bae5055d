{{- /* The name of every object: that of the release. */ -}}
{{- define "ashapp.name" -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "ashapp.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "ashapp.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "ashapp.labels" -}}
app.kubernetes.io/name: {{ include "ashapp.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "ashapp.selector" -}}
app.kubernetes.io/name: {{ include "ashapp.name" . }}
{{- end -}}

{{- /* The settings, with the seconds that are left from SIGTERM to SIGKILL. */ -}}
{{- define "ashapp.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- /* A number of a file is a float, which would be 1e+06 from a million on. */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
{{- $value = int64 $value }}
{{- end }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
ASHAPP_TERMINATION_GRACE_PERIOD: {{ sub .Values.terminationGracePeriodSeconds .Values.preStopSeconds | toString | quote }}
{{- with .Values.app }}
ASHAPP_APP: {{ . | quote }}
{{- end }}
{{- if .Values.faults }}
ASHAPP_FAULTS: "true"
{{- end }}
{{- end -}}

{{- define "ashapp.image" -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else if .Values.image.tag }}:{{ .Values.image.tag }}{{ end -}}
{{- end -}}
